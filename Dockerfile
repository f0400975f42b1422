# The page of `facekit web`. Build: docker build -t facekit .
# Run: docker run --rm -p 127.0.0.1:8350:8350 -v "$PWD/people:/people" -v "$PWD/password:/run/password:ro" facekit
FROM python:3.12-slim
RUN apt-get update \
    && apt-get install --no-install-recommends --yes libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY facekit facekit
RUN pip install --no-cache-dir ".[web]"
RUN useradd --create-home facekit && mkdir /people && chown facekit /people
USER facekit
WORKDIR /people
EXPOSE 8350
CMD ["facekit", "web", "--address", "0.0.0.0", "--password-file", "/run/password", "--allow-host", "127.0.0.1:8350", "--allow-host", "localhost:8350"]
