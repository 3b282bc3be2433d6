"""Devices that this machine does not have: XLA compiles for them and reports the memory it assigns.

This needs JAX's plugin for them (`pip install 'jax[cuda12]'` or `'jax[tpu]'`), and
`JAX_PLATFORMS=cpu` on a machine without such devices.
"""

import os
import re
import sys

import jax
from jax.experimental import topologies
from jax.sharding import Mesh

from jreid.distributed.mesh import mesh_over

# NVIDIA's numbers of an H100 SXM, in the fields of XLA.
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
    """A mesh of devices for which steps can be compiled but not run.

    Ends the program if JAX has no plugin for them, or searches this machine for them in vain.

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
    # ValueError: the name is wrong. RuntimeError: JAX has no plugin for it.
    except (ValueError, RuntimeError) as error:
        plugin, cause = "cuda12" if cards else "tpu", str(error).partition("\n")[0]
        sys.exit(
            f"JAX cannot compile for an absent {devices} ({cause}): write 8xH100 or v5e:2x4, "
            f"pip install 'jax[{plugin}]', and set JAX_PLATFORMS=cpu."
        )
    return mesh_over(topology.devices)
