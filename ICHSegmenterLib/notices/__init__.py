"""What people are told as a code with parameters: of a run, of an error. Free of everything else."""
