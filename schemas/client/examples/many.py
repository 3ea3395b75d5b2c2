"""Publishes many videos straight to the stream, at most 100 queued at a time.

python many.py REDIS_URL VIDEO…
"""

import asyncio
import sys

from faces_client import AnalyzeRequest, AsyncPublisher


async def main(redis_url: str, videos: list[str]) -> None:
    """Publishes the videos and prints the ids of their jobs."""
    async with AsyncPublisher(redis_url, max_queued=100) as publisher:
        for video in videos:  # submit waits while 100 requests are queued
            submitted = await publisher.submit(AnalyzeRequest(video_path=video))
            print(submitted.job_id)


asyncio.run(main(sys.argv[1], sys.argv[2:]))
