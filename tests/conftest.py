"""Settings of all tests: four CPU devices, strict dtypes, quick hypothesis.

Warnings are errors and every test has a time limit: see setup.cfg.
"""

import os

# The tests are about values, not speed, and must be the same everywhere; an
# accelerator is used only where somebody asks for it.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import jax

# Before anything touches a device. Four, so that sharding is really tested.
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")

hypothesis.settings.register_profile(
    "weightspace",
    deadline=None,  # the first example of each shape pays for a compilation
    max_examples=20,
    derandomize=True,
    database=None,  # derandomized examples need no memory of failed ones
)
hypothesis.settings.load_profile("weightspace")
