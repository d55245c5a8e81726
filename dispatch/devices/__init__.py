"""What backends share whose devices have memory and drivers of their own, whatever the interface to them is.

`on_cuda` says which arrays are on a CUDA device, `is_foreign` which ones NumPy cannot read. `Pool` keeps buffers for
reuse. `ForkGuard` tells a forked child that its parent's driver is of no use to it. `python_command` and
`start_silently` start another Python, for work that no call should wait for. `cache_folder` is where compiled kernels
and the like may be kept on disk; `write_whole` puts them there.
"""

from dispatch.devices.child import python_command, start_silently
from dispatch.devices.cuda_arrays import dlpack_device, on_cuda
from dispatch.devices.folder import cache_folder, write_whole
from dispatch.devices.foreign_arrays import is_foreign
from dispatch.devices.fork import ForkGuard
from dispatch.devices.memory import Pool, PooledBuffer

__all__ = [
    "ForkGuard",
    "Pool",
    "PooledBuffer",
    "cache_folder",
    "dlpack_device",
    "is_foreign",
    "on_cuda",
    "python_command",
    "start_silently",
    "write_whole",
]
