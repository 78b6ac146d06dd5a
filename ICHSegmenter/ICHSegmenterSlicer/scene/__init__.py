"""Between MRML nodes and arrays."""
