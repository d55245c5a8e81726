"""What backends share whose devices have memory and drivers of their own, whatever the interface to them is.

`Pool` keeps buffers for reuse. `ForkGuard` tells a forked child that its parent's driver is of no use to it.
"""

from dispatch.devices.fork import ForkGuard
from dispatch.devices.memory import Pool, PooledBuffer

__all__ = ["ForkGuard", "Pool", "PooledBuffer"]
