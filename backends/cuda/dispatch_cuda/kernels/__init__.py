"""The kernels. Each module makes its own for given types on request; nothing is compiled before its first launch."""
