"""The operations, one file each: signature, rules for the arguments, and what a backend is told of a call."""
