#!/bin/bash
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-task=1
#SBATCH --time=04:00:00
#SBATCH --requeue
# A job that is stopped is queued again, and goes on from its checkpoint, also with another number of tasks.
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
srun --mpi=pmix python -m mpi4py ranks.py "$SCRATCH/rows" cupy
