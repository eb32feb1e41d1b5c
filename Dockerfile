# An algorithm as grand-challenge.org runs it: one scan in /input, its findings in /output, no network.
#
#   docker build --tag nodules .
#   docker run --rm --network none --volume SCAN:/input:ro --volume RESULTS:/output nodules
#
# The networks are those that ship with the package (see docs/how-to/predict.md).
FROM python:3.13-slim

COPY requirements.lock /tmp/
# The versions of the lock, of those packages alone that the search needs.
RUN sed -e '/--hash/d' -e 's/ *\\$//' /tmp/requirements.lock > /tmp/constraints.txt
COPY pyproject.toml README.md LICENSE /tmp/nodules/
COPY nodules /tmp/nodules/nodules
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt /tmp/nodules \
    && rm -r /tmp/nodules /tmp/requirements.lock /tmp/constraints.txt

RUN useradd --create-home user && mkdir /input /output && chown user /output
USER user
ENTRYPOINT ["python", "-m", "nodules.predict.container"]
