#!/bin/bash
#SBATCH --job-name=part
#SBATCH --output=logs/%x-%a.txt
#SBATCH --open-mode=append
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=4
#SBATCH --mem=32G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
# One task of the array that start.sh makes: one part of the videos. The number of the
# part is given and not left to the default, so that `sbatch --array=3,5` repeats two
# tasks as the same parts.
set -euo pipefail

# Slurm sends USR1 two minutes before the time limit. What is finished stays; the task
# goes back to the queue and continues there.
requeue() {
    kill -TERM "$work" 2>/dev/null || true
    wait "$work" || true
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
    exit 0
}

submit predict "$SPLIT" --predictor "$PREDICTOR" --name "$NAME" \
    --part "$SLURM_ARRAY_TASK_ID/$PARTS" "$@" &
work=$!
trap requeue USR1
wait "$work"
