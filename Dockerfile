# An image with the command jreid. On CPUs:
#   docker build --tag=jreid .
#   docker run --rm --volume="$PWD:/work" jreid train --config=agw:synthetic --workdir=runs/agw
# On NVIDIA GPUs, whose CUDA 13 comes with JAX (the machine needs the driver and the container toolkit):
#   docker build --tag=jreid-cuda13 --build-arg=PARTS=data,cuda13 .
#   docker run --rm --gpus=all --volume="$PWD:/work" jreid-cuda13 doctor
FROM python:3.12-slim

ARG PARTS=data

COPY requirements.txt pyproject.toml setup.py README.md LICENSE /source/
COPY configs /source/configs
COPY jreid /source/jreid
RUN pip install --no-cache-dir --constraint=/source/requirements.txt "/source[${PARTS}]" \
    && rm -r /source

# --user="$(id -u)" has the command write its files as you.
RUN useradd --uid=1000 --create-home jreid \
    && mkdir /work \
    && chown jreid /work
ENV MPLCONFIGDIR=/tmp/matplotlib
USER jreid
WORKDIR /work
ENTRYPOINT ["jreid"]
CMD ["--help"]
