"""Prints the people in a video.

python people.py VIDEO [URL]
"""

import sys

from faces_client import AnalyzeRequest, Client, Parameters

video, url = (*sys.argv[1:], "http://127.0.0.1:5003")[:2]
request = AnalyzeRequest(video_path=video, parameters=Parameters(sampling_interval=1.0))
with Client(url) as faces:
    job = faces.submit(request)
    for status in faces.events(job.job_id):
        print(f"{status.progress:4.0%} {status.message}", file=sys.stderr)
    if faces.status(job.job_id).status == "completed":
        for face in faces.result(job.job_id).faces:
            spans = ", ".join(f"{span.start:.1f}-{span.end:.1f} s" for span in face.appearances)
            print(f"{face.face_id}: {spans}")
