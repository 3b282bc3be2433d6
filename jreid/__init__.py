"""jreid: visible-infrared person re-identification in JAX and Flax."""
