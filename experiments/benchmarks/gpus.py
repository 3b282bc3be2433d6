"""GPUs that need not be here: XLA compiles for them, and says what memory it assigns.

That takes JAX's CUDA plugin (`pip install 'jax[cuda12]'`), and `JAX_PLATFORMS=cpu` where no GPU is.
"""

import sys

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh

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


def h100s(number: int) -> Mesh:
    """A mesh of so many H100, for which steps can be compiled and not run.

    Ends the program where JAX has no CUDA plugin, or looks for GPUs and finds none.
    """
    try:
        jax.devices()  # finds the plugin
        topology = topologies.get_topology_desc(
            platform="cuda", target_config=H100, topology=f"1x1x{number}"
        )
    except (NotImplementedError, RuntimeError) as error:
        sys.exit(
            f"JAX cannot compile for GPUs that are not here ({str(error).partition(chr(10))[0]}): "
            "pip install 'jax[cuda12]' and set JAX_PLATFORMS=cpu."
        )
    return Mesh(np.array(topology.devices), ("data",), axis_types=(AxisType.Auto,))
