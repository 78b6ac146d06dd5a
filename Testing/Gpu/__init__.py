"""Everything that only a computer with a CUDA device can show, in one command: `make gpu`."""
