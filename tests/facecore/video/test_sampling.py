"""Plans adapted to short films."""

from hypothesis import given
from hypothesis import strategies as st

from facecore.video import Interval, Scenes, VideoInfo
from facecore.video.sampling import adapted, expected_samples


@given(duration=st.floats(0.05, 300), seconds=st.floats(0.1, 60))
def test_a_short_film_gets_about_twenty_samples(duration: float, seconds: float) -> None:
    plan = adapted(Interval(seconds), duration)
    assert isinstance(plan, Interval) and 0.1 <= plan.seconds <= seconds, "never fewer than requested"
    if duration >= 20:
        assert plan == Interval(seconds)
    elif duration >= 2 and seconds >= 1:
        assert expected_samples(plan, VideoInfo(duration=duration)) in (20, 21)


def test_scenes_and_unknown_durations_stay_as_they_are() -> None:
    scenes = Scenes(((0.0, 1.0),))
    assert adapted(scenes, 5.0) == scenes
    assert adapted(Interval(2.0), None) == Interval(2.0)
