"""The classical baseline: voxels as dense as acute blood, inside the skull."""
