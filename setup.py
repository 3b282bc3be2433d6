"""What pyproject.toml cannot say: the folder `configs/` is `jreid/configs` in a wheel."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["jreid", "jreid.*"]), "jreid.configs"],
    package_dir={"jreid.configs": "configs"},
)
