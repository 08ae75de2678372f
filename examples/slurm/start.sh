#!/bin/bash
# Predict a split with a job array of Slurm, then join, pack and check. Type:
#
#   SPLIT=MOSEv2/valid PREDICTOR=sam2 NAME=large PARTS=8 examples/slurm/start.sh \
#       -o checkpoint=sam2.1_hiera_large.pt
#
# Arguments go to `submit predict`. Options of your cluster, such as the partition, are
# read by sbatch from variables such as SBATCH_PARTITION and SBATCH_ACCOUNT.
set -euo pipefail

export SPLIT PREDICTOR NAME PARTS=${PARTS:-8}
here=$(dirname "$(realpath "$0")")
mkdir -p logs
job=$(sbatch --parsable --array="1-$PARTS" "$here/part.sh" "$@")
sbatch --parsable --dependency="afterok:${job%%;*}" "$here/merge.sh"
