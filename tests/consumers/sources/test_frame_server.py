"""The Frame Server's protocol, as its code and as its documentation speak it, and everything that goes wrong."""

import asyncio
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.sources.extraction import SamplingMismatch, ServedFrames, check_end, extract_frames, fetch
from consumers.sources.frame_server import (
    FrameNotEnhanced,
    FrameServer,
    FrameServerNotFound,
    FrameServerRefused,
    FrameServerUnavailable,
    kept_timestamp,
)
from consumers.sources.frames import Frame
from consumers.sources.served_frames import ServedSource, extracted_source, open_scenes
from facecore.video import Interval, Plan, Scenes, Timestamps
from facecore.video.images import decode
from facecore.video.sampling import VideoInfo, sample_times
from schemas.messages import FileFrame
from tests.consumers.sources.conftest import ServerProcess
from tests.facecore.video.clips import number_in
from tests.waiting import eventually_async


async def extracted(server: FrameServer, film: Path, plan: Plan, deadline: float = 60.0) -> ServedFrames:
    return await extract_frames(server, "job-1", str(film), plan, deadline=deadline)


async def numbers(server: FrameServer, served: ServedFrames, roots: list[Path]) -> list[int]:
    found = []
    for sample in served.frames:
        frame = await fetch(server, served.job_id, sample, roots)
        found.append(
            number_in(decode(Path(frame.path).read_bytes() if isinstance(frame, FileFrame) else frame))
        )
    return found


@pytest.mark.parametrize("documented", [False, True])
async def test_frames_at_an_interval(
    server: FrameServer, double: ServerProcess, film: Path, documented: bool
) -> None:
    double.faults(documented=documented, stalled=3)
    served = await extracted(server, film, Interval(2.0))
    assert served.job_id == "frames-job-1"
    assert [(s.index, s.timestamp) for s in served.frames] == [(i, 2.0 * i) for i in range(5)]
    on_volume = await fetch(server, served.job_id, served.frames[1], [double.volume])
    assert on_volume == FileFrame(str(double.volume / "frames-job-1" / "frame_000001.jpg"))
    assert await numbers(server, served, [double.volume]) == [0, 50, 100, 150, 200]


@pytest.mark.parametrize("documented", [False, True])
async def test_scenes_in_both_spellings(
    server: FrameServer, double: ServerProcess, film: Path, documented: bool
) -> None:
    double.faults(documented=documented)
    served = await extracted(server, film, Scenes(((0.0, 4.0), (4.0, 10.0))))
    assert [(s.index, s.timestamp) for s in served.frames] == [*enumerate([1.0, 2.0, 3.0, 5.52, 7.0, 8.48])]
    assert await numbers(server, served, [double.volume]) == [25, 50, 75, 138, 175, 212]


async def test_scenes_are_asked_frame_by_frame(server: FrameServer, film: Path) -> None:
    """The frames at start, middle and end of each scene; the last scene lies beyond the end of the film."""
    plan = Scenes(((0.0, 4.0), (4.0, 9.333333), (30.0, 40.0)))
    source = await open_scenes(server, str(film), plan, 0, None)
    assert source is not None and source.expected == 9
    frames = await all_frames(source)
    assert [number_in(decode(cast("bytes", f.picture))) for f in frames] == [0, 50, 99, 100, 166, 233]
    assert [f.index for f in frames] == [*range(6)]
    assert len(source.warnings) == 1 and "samples end before 30.00 s" in source.warnings[0]
    resumed = await open_scenes(server, str(film), plan, 4, "frame-server")
    assert resumed is not None and [f.index for f in await all_frames(resumed)] == [4, 5]


async def all_frames(source: ServedSource) -> list[Frame]:
    frames: list[Frame] = []
    while chunk := await source.next_chunk():
        frames += chunk
    return frames


@given(number=st.integers(3, 100_000), fps=st.sampled_from([23.976, 24, 25, 29.97, 50, 59.94, 60, 100]))
def test_moments_in_the_precision_of_the_frame_server_are_in_the_same_scene(number: int, fps: float) -> None:
    """Frame numbers as the Frame Server counts them, for the start of a scene and for the end of the one before."""
    start = number / fps
    assert int(kept_timestamp(start) * fps + 1e-6) == number
    before = [*sample_times(Scenes(((0.0, start),)), VideoInfo(fps=fps))][-1]
    assert int(kept_timestamp(before) * fps + 1e-6) == number - 1
    unknown_rate = [*sample_times(Scenes(((0.0, start),)), VideoInfo())][-1]
    assert int(kept_timestamp(unknown_rate) * fps + 1e-6) < number


async def test_a_frame_of_another_moment_is_refused(
    server: FrameServer, double: ServerProcess, film: Path
) -> None:
    double.faults(sends=7.0)
    with pytest.raises(FrameServerRefused, match=r"sent the frame at 7\.00 s instead of 4\.00 s"):
        await server.frame_at(str(film), 4.0)
    with pytest.raises(FrameServerRefused, match=r"sent the frame at 7\.00 s instead of 4\.00 s"):
        await server.enhanced_frame(str(film), 4.0, "codeformer", 0.5, 60.0)


@pytest.fixture(params=["files on a shared volume", "over HTTP"])
def roots(request: pytest.FixtureRequest, double: ServerProcess) -> list[Path]:
    """The shared volume, where there is one."""
    return [double.volume] if "shared" in request.param else []


async def test_a_job_with_the_same_frames_answers(
    server: FrameServer, double: ServerProcess, film: Path, roots: list[Path]
) -> None:
    double.faults(cached=True)
    served = await extracted(server, film, Interval(2.0))
    assert served.job_id == "somebody-elses-job"
    assert await numbers(server, served, roots) == [0, 50, 100, 150, 200]


async def test_timestamps_that_were_not_honoured_are_noticed(server: FrameServer, film: Path) -> None:
    with pytest.raises(SamplingMismatch, match=r"no frame at 0\.50 s; the nearest is at 0\.00 s"):
        await extracted(server, film, Timestamps((0.5, 3.1)))
    served = await extracted(server, film, Timestamps((2.0, 6.0)))  # by chance on the server's own grid
    assert [sample.frame.timestamp for sample in served.frames] == [2.0, 6.0]


@pytest.mark.parametrize("spacing", [1.0, 1.9, 2.1, 3.0, 4.0])
async def test_another_spacing_is_noticed(
    server: FrameServer, double: ServerProcess, film: Path, roots: list[Path], spacing: float
) -> None:
    double.faults(spacing=spacing)
    if spacing == 1.0:  # twice as many frames as asked for: every second one is right
        served = await extracted(server, film, Interval(2.0))
        assert await numbers(server, served, roots) == [0, 50, 100, 150, 200]
        return
    with pytest.raises(SamplingMismatch, match=r"no frame at|end at"):
        await extracted(server, film, Interval(2.0))


async def test_short_intervals_end_with_the_film(server: FrameServer, film: Path) -> None:
    """The moment after the last frame is nearer than `TIMESTAMP_TOLERANCE_SECONDS`."""
    served = await extracted(server, film, Interval(0.12))
    assert (len(served.frames), served.last) == (84, 9.96)
    assert all(abs(s.timestamp - s.frame.timestamp) < 0.01 for s in served.frames)


async def test_an_interval_that_it_does_not_take(server: FrameServer, film: Path) -> None:
    with pytest.raises(SamplingMismatch, match=r"does not support a sampling interval of 12\.0 s"):
        await extracted(server, film, Interval(12.0))


async def test_a_video_that_it_does_not_know(
    server: FrameServer, double: ServerProcess, tmp_path: Path
) -> None:
    with pytest.raises(FrameServerRefused, match=r"404: .*Video not found"):
        await extracted(server, tmp_path / "missing.mp4", Interval(2.0))
    assert len(double.requests()) == 1, "an unknown video is not asked for again"


async def test_a_job_that_fails(server: FrameServer, double: ServerProcess, film: Path) -> None:
    double.faults(broken=True)
    with pytest.raises(FrameServerRefused, match="could not extract the frames: no GPU"):
        await extracted(server, film, Interval(2.0))


async def test_errors_of_its_own_while_a_job_is_under_way_are_waited_out(
    server: FrameServer, double: ServerProcess, film: Path
) -> None:
    double.faults(stalled=2)
    task = asyncio.create_task(extracted(server, film, Interval(2.0)))
    while not any("status" in request[1] for request in double.requests()):
        await asyncio.sleep(0)
    double.faults(failures=3)
    assert len((await task).frames) == 5
    assert sum("status" in request[1] for request in double.requests()) >= 3


async def test_its_error_at_the_start_is_worth_another_try(
    server: FrameServer, double: ServerProcess, film: Path
) -> None:
    double.faults(failures=1)
    with pytest.raises(FrameServerUnavailable, match=r"500: .*the model fell over"):
        await extracted(server, film, Interval(2.0))


async def test_a_restart_in_the_middle_is_survived(
    server: FrameServer, double: ServerProcess, film: Path, roots: list[Path]
) -> None:
    double.faults(stalled=1_000_000)
    task = asyncio.create_task(extracted(server, film, Interval(2.0)))
    await eventually_async(lambda: any("status" in request[1] for request in double.requests()))
    double.kill()
    double.start()
    served = await task
    assert await numbers(server, served, roots) == [0, 50, 100, 150, 200]


async def test_answers_that_do_not_come_are_waited_out_while_a_job_is_under_way(
    impatient_server: FrameServer, double: ServerProcess, film: Path
) -> None:
    def polls() -> int:
        return sum("status" in request[1] for request in double.requests())

    double.faults(stalled=3)
    task = asyncio.create_task(extracted(impatient_server, film, Interval(2.0)))
    await eventually_async(polls)
    double.faults(hangs="status")
    await eventually_async(lambda: polls() >= 2)
    double.faults()
    assert len((await task).frames) == 5


async def test_a_server_that_does_not_answer_is_worth_another_try(
    server: FrameServer, impatient_server: FrameServer, double: ServerProcess, film: Path
) -> None:
    served = await extracted(server, film, Interval(2.0))
    double.faults(hangs="/frames/")
    with pytest.raises(FrameServerUnavailable, match="did not respond within"):
        await extracted(impatient_server, film, Interval(2.0))
    with pytest.raises(FrameServerUnavailable, match="did not respond within"):
        await fetch(impatient_server, served.job_id, served.frames[0], [])
    assert not await impatient_server.healthy()


async def test_frames_that_are_fewer_than_the_film_has(
    server: FrameServer, double: ServerProcess, film: Path
) -> None:
    double.faults(first=3)
    with pytest.raises(SamplingMismatch, match=r"frames end at 4\.00 s of 10\.00 s"):
        await extracted(server, film, Interval(2.0))
    double.faults(first=3, no_metadata=True)  # only the duration would show it
    served = await extracted(server, film, Interval(2.0))
    assert (served.duration, served.last) == (None, 4.0)
    with pytest.raises(SamplingMismatch, match=r"frames end at 4\.00 s of 10\.00 s"):
        check_end(Interval(2.0), 10.0, served.last)


async def test_it_is_not_waited_for_beyond_the_deadline(
    server: FrameServer, double: ServerProcess, film: Path
) -> None:
    double.faults(stalled=1_000_000)
    with pytest.raises(FrameServerUnavailable, match="did not extract the frames in time"):
        await extracted(server, film, Interval(2.0), deadline=0.5)


async def test_files_that_vanished_are_fetched_over_http(
    server: FrameServer, double: ServerProcess, film: Path
) -> None:
    double.faults(lost_files=True)
    served = await extracted(server, film, Interval(2.0))
    assert isinstance(await fetch(server, served.job_id, served.frames[2], [double.volume]), bytes)
    assert await numbers(server, served, [double.volume]) == [0, 50, 100, 150, 200]


async def test_frames_that_are_gone_for_good(server: FrameServer, double: ServerProcess, film: Path) -> None:
    served = await extracted(server, film, Interval(2.0))
    double.faults(lost_frames=True)
    with pytest.raises(FrameServerNotFound, match="status 404"):
        await fetch(server, served.job_id, served.frames[0], [])


async def test_frames_that_a_cached_job_has_lost_are_extracted_one_by_one(
    server: FrameServer, double: ServerProcess, film: Path
) -> None:
    """The real one answers with a cached job whose files were swept, again and again."""
    double.faults(cached=True, lost_files=True, lost_frames=True)
    served = await extracted(server, film, Interval(2.0))
    only_source = extracted_source(server, str(film), served, [double.volume], Interval(2.0), 0, None)
    frames = await all_frames(only_source)
    assert [number_in(decode(cast("bytes", f.picture))) for f in frames] == [0, 50, 100, 150, 200]
    assert only_source.warnings == []


async def test_only_the_shared_volume_is_read(
    server: FrameServer, double: ServerProcess, film: Path, tmp_path: Path
) -> None:
    served = await extracted(server, film, Interval(2.0))
    assert isinstance(await fetch(server, served.job_id, served.frames[0], [tmp_path.resolve()]), bytes)


async def test_a_server_that_is_not_there(film: Path) -> None:
    async with aiohttp.ClientSession() as session:
        absent = FrameServer("http://127.0.0.1:9", session)
        assert not await absent.healthy()
        with pytest.raises(FrameServerUnavailable, match="cannot be reached"):
            await extracted(absent, film, Interval(2.0))


async def test_health(server: FrameServer, double: ServerProcess) -> None:
    assert await server.healthy()
    double.faults(failures=1)
    assert not await server.healthy()


async def test_an_enhanced_frame_may_be_larger(
    server: FrameServer, double: ServerProcess, film: Path
) -> None:
    double.faults(enhanced=2)
    image = decode(await server.enhanced_frame(str(film), 4.0, "codeformer", 0.5, 60.0))
    assert image.shape == (256, 384, 3)
    assert number_in(image) == 100
    [request] = double.requests()
    assert request[2] == {
        "video_path": str(film), "timestamp": "4.0", "output_format": "jpeg", "quality": "95", "enhance": "1",
        "model": "codeformer", "fidelity_weight": "0.5",
    }  # fmt: skip


@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"header": "0.0"},
        {"header": "False"},
        {"header": ""},
        {"cached_frames": True},
        {"recoded": True, "cached_frames": True},
    ],
    ids=str,
)
async def test_a_frame_that_was_not_enhanced_is_noticed(
    server: FrameServer, double: ServerProcess, film: Path, restored: Path, faults: dict[str, Any]
) -> None:
    """The real one sends the very same picture when enhancement is off or the model is not loaded."""
    double.faults(models=["gfpgan"], restored=str(restored), **faults)
    with pytest.raises(
        FrameNotEnhanced, match="without enhancement: it is off there, or codeformer is not loaded"
    ):
        await server.enhanced_frame(str(film), 4.0, "codeformer", 0.5, 60.0)
    double.faults(restored=str(restored), cached_frames="cached_frames" in faults)
    image = decode(await server.enhanced_frame(str(film), 4.0, "gfpgan", 0.5, 60.0))
    assert image.shape == (256, 384, 3) and number_in(image) == 101


async def test_an_enhanced_frame_that_cannot_be_had(
    server: FrameServer, double: ServerProcess, film: Path, tmp_path: Path
) -> None:
    with pytest.raises(FrameServerRefused, match="status 404"):
        await server.enhanced_frame(str(tmp_path / "missing.mp4"), 1.0, "gfpgan", 0.5, 60.0)
    double.faults(failures=1)
    with pytest.raises(FrameServerUnavailable, match="500"):
        await server.enhanced_frame(str(film), 1.0, "gfpgan", 0.5, 60.0)
    double.faults(enhanced="text")
    with pytest.raises(FrameServerRefused, match="not a picture"):
        await server.enhanced_frame(str(film), 1.0, "gfpgan", 0.5, 60.0)
    double.faults(enhanced="slow")
    with pytest.raises(FrameServerUnavailable, match="did not respond within"):
        await server.enhanced_frame(str(film), 1.0, "gfpgan", 0.5, 0.2)
