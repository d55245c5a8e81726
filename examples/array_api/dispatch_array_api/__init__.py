"""Backends on any library with the array API. Importing this imports none of them: `probe` does."""

from dispatch_array_api.backend import ArrayApiBackend

torch = ArrayApiBackend("torch", "array_api_compat.torch", ("torch.Tensor",))
cupy = ArrayApiBackend("cupy", "array_api_compat.cupy", ("cupy.ndarray",), "cupy-cuda12x")
jax = ArrayApiBackend("jax", "jax.numpy", ("jaxlib._jax.ArrayImpl", "jaxlib.xla_extension.ArrayImpl"))
strict = ArrayApiBackend("array-api-strict", "array_api_strict", ("array_api_strict._array_object.Array",))
