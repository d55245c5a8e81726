"""Plugins that do everything wrong that a plugin can do, and what is said of each.

`test_hostile_plugins.py` installs them. What a backend does wrong when it is asked about a call is in
`test_selection.py`; backends that return wrong numbers are the conformance kit's to find, in `tests/kit`.
"""

BAD_PLUGINS = {
    "raises at import": ("raise OSError('libmine.so is missing')", "OSError: libmine.so is missing"),
    "exits at import": ("raise SystemExit(3)", "SystemExit: 3"),
    "is interrupted at import": (
        "raise KeyboardInterrupt('mine')",
        "importing its plugin raised KeyboardInterrupt: mine",
    ),
    "times out at import by itself": (
        "raise TimeoutError('no licence server')",
        "importing its plugin raised TimeoutError: no licence server",
    ),
    "is no backend": ("backend = 42", "provides 42, expected an instance of dispatch.Backend"),
    "has no such attribute": ("other = 1", "AttributeError: module 'plugin_mine' has no attribute 'backend'"),
    "another API version": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'; api_version=99\n"
        "  def probe(self): return []\n  def supports(self, call, device): return True\nbackend = B()",
        "it was written for plugin API 99; this core has 1",
    ),
    "an older API version": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'; api_version=0\n"
        "  def probe(self): return []\n  def supports(self, call, device): return True\nbackend = B()",
        "it was written for plugin API 0; this core has 1",
    ),
    "an API version of true": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'; api_version=True\n"
        "  def probe(self): return [dispatch.Device('mine:0')]\n"
        "  def supports(self, call, device): return True\nbackend = B()",
        "it was written for plugin API True; this core has 1",
    ),
    "an API version that is no number": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'; api_version='1.0'\n"
        "  def probe(self): return []\n  def supports(self, call, device): return True\nbackend = B()",
        "it was written for plugin API '1.0'; this core has 1",
    ),
    "a class": ("import dispatch\nbackend = dispatch.Backend", "expected an instance of dispatch.Backend"),
    "a backend without probe": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\nbackend = B()",
        "TypeError: Can't instantiate abstract class B",
    ),
    "another name": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='other'\n"
        "  def probe(self): return []\n  def supports(self, call, device): return True\nbackend = B()",
        "its entry point is named 'mine' but its backend 'other'",
    ),
    "no device": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): return []\n  def supports(self, call, device): return True\nbackend = B()",
        "probe() returned the devices [], expected mine:0, mine:1 and so on",
    ),
    "devices of another name": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): return [dispatch.Device('gpu:0'), 7]\n"
        "  def supports(self, call, device): return True\nbackend = B()",
        "probe() returned the devices ['gpu:0', '7'], expected mine:0",
    ),
    "raises in probe": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): raise KeyError('driver')\n"
        "  def supports(self, call, device): return True\nbackend = B()",
        "probe() raised KeyError: 'driver'",
    ),
    "hangs in probe": (
        "import dispatch, time\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): time.sleep(60)\n"
        "  def supports(self, call, device): return True\nbackend = B()",
        "probe(): no answer after 0.2 s",
    ),
    "exits in probe": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): raise SystemExit('no licence')\n"
        "  def supports(self, call, device): return True\nbackend = B()",
        "probe() raised SystemExit: no licence",
    ),
    "is interrupted in probe": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): raise KeyboardInterrupt\n"
        "  def supports(self, call, device): return True\nbackend = B()",
        "probe() raised KeyboardInterrupt",
    ),
    "generates no device": (
        "import dispatch\nclass B(dispatch.Backend):\n  name='mine'\n"
        "  def probe(self): yield from ()\n"
        "  def supports(self, call, device): return True\nbackend = B()",
        "probe() returned the devices [], expected mine:0, mine:1 and so on",
    ),
    "hangs at import": ("import time; time.sleep(60)", "importing its plugin: no answer after 0.2 s"),
}
"""Source of a plugin for the backend "mine", and a part of the reason in its row."""


BROKEN_ANSWERS = {
    "a reason that is an exception": ("raise dispatch.BackendUnavailableError(OSError('no /dev/dri'))", "no /dev/dri"),
    "an error that cannot be shown": (
        "class E(Exception):\n      def __str__(self): raise ZeroDivisionError\n    raise E",
        "probe() raised E: (its message cannot be shown)",
    ),
    "memory of NumPy's type": (
        "import numpy; return [dispatch.Device('mine:0', memory=numpy.int64(5))]",
        "expected a kind of cpu, gpu, accelerator, simulator, a description and a driver that are strings, the memory "
        "as an int of at least 0 or None, and the profile as a Profile or None",
    ),
    "memory below 0": ("return [dispatch.Device('mine:0', memory=-1)]", "the memory as an int of at least 0 or None"),
    "memory of true": ("return [dispatch.Device('mine:0', memory=True)]", "the memory as an int of at least 0 or None"),
    "no reason": (
        "raise dispatch.BackendUnavailableError('', '')",
        "probe() raised BackendUnavailableError without a reason",
    ),
    "a reason that is none": (
        "raise dispatch.BackendUnavailableError(None, 5)",
        "probe() raised BackendUnavailableError without a reason",
    ),
    "a reason that was never set": (
        "class E(dispatch.BackendUnavailableError):\n      def __init__(self): pass\n    raise E",
        "probe() raised E without a reason",
    ),
    "a reason that commands the terminal": (
        "raise dispatch.BackendUnavailableError('no\\n \\x1b[31mdriver\\x07')",
        "no \N{REPLACEMENT CHARACTER}[31mdriver\N{REPLACEMENT CHARACTER}",
    ),
    "an error without a message": ("raise KeyError", "probe() raised KeyError: (without a message)"),
    "an unknown kind": ("return [dispatch.Device('mine:0', 'toaster')]", "kind='toaster'"),
}
"""Body of a `probe`, and a part of the reason in the row of its backend."""


UNSPEAKABLE = ["MyGPU", "my.gpu", "café", "auto", "lobpcg", "cpu:0", "", "a b", None]
"""Names by which nobody could ask for a backend."""
