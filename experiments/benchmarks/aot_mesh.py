"""Devices that need not be here: XLA compiles for them, and says what memory it assigns.

That takes JAX's plugin for them (`pip install 'jax[cuda12]'` or `'jax[tpu]'`), and
`JAX_PLATFORMS=cpu` where there are none.
"""

import os
import re
import sys

import jax
from jax.experimental import topologies
from jax.sharding import Mesh

from jreid.distributed.mesh import mesh_over

# An H100 SXM as NVIDIA describes it, in XLA's words.
H100 = """
platform_name: "CUDA"
device_description_str: "H100"
dnn_version_info { major: 9 minor: 7 }
runtime_version { major: 12 minor: 8 }
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  device_memory_size: 85899345920
  memory_bandwidth: 3350000000000
  l2_cache_size: 52428800
  shared_memory_per_core: 233472
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  threads_per_core_limit: 2048
  threads_per_block_limit: 1024
  threads_per_warp: 32
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}
"""


def make_mesh(devices: str) -> Mesh:
    """A mesh of devices for which steps can be compiled and not run.

    Ends the program where JAX has no plugin for them, or looks for such devices and finds none.

    Args:
        devices: `8xH100`, or a TPU's topology such as `v5e:2x4`.
    """
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # otherwise it waits for Google's cloud
    cards = re.fullmatch(r"(\d+)xH100", devices)
    try:
        jax.devices()  # finds the plugins
        if cards:
            topology = topologies.get_topology_desc(
                platform="cuda", target_config=H100, topology=f"1x1x{cards[1]}"
            )
        else:
            topology = topologies.get_topology_desc(devices, platform="tpu")
    except (NotImplementedError, ValueError, RuntimeError) as error:
        plugin, cause = "cuda12" if cards else "tpu", str(error).partition("\n")[0]
        sys.exit(
            f"JAX cannot compile for an absent {devices} ({cause}): name it as 8xH100 or "
            f"v5e:2x4, pip install 'jax[{plugin}]', and set JAX_PLATFORMS=cpu."
        )
    return mesh_over(topology.devices)
