"""How XLA compiles the tests' programs: fast, since compiling takes most of the tests' time."""

from importlib.metadata import version

# Splitting a program, to compile its parts on several cores, takes more time of them in all.
FLAGS = "--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
# The options of a program that is compiled as users have it.
OPTIMIZED = {"xla_backend_optimization_level": 3}
if version("jaxlib").startswith("0.10."):  # later ones have no other emitters of fusions
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
    OPTIMIZED["xla_cpu_use_fusion_emitters"] = True
