"""What only the kernel itself knows at a chapter's end: device, GPU memory, torch's build.

The runner executes this file in the kernel after the last cell; it imports nothing that the chapter
has not imported.
"""

import platform
import sys
from typing import Any


def measurements() -> dict[str, Any]:
    """Return the device that torch would use, its peak of memory in MB, and torch's version."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {"device": f"cpu ({processor()})"}
    found = {"versions": {"torch": str(torch.__version__)}, "device": f"cpu ({processor()})"}
    if torch.cuda.is_available():
        found["device"] = f"cuda ({torch.cuda.get_device_name()})"
        found["gpu_peak_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return found


def processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
