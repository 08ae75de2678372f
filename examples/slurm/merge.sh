#!/bin/bash
#SBATCH --job-name=merge
#SBATCH --output=logs/%x.txt
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=02:00:00
# Runs when all tasks of the array have ended well; see start.sh.
set -euo pipefail

submit merge-parts "$NAME"
submit pack "$NAME" -o "$NAME.zip" --force
submit check "$NAME.zip" --split "$SPLIT"
