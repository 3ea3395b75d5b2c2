"""Labels of the photographs, by directory (a person) and file name, and of people in films."""

from facecore.quality import PoseClass

PEOPLE: dict[str, tuple[str, int]] = {
    "alex_lacamoire": ("M", 41), "barack_obama": ("M", 49), "bbt_amy": ("F", 36), "bbt_bernadette": ("F", 32),
    "bbt_howard": ("M", 30), "bbt_leonard": ("M", 34), "bbt_penny": ("F", 26), "bbt_raj": ("M", 29),
    "bbt_sheldon": ("M", 37), "bbt_stuart": ("M", 41), "eileen_collins": ("F", 42), "joe_biden": ("M", 68),
    "john_lennon": ("M", 29), "kit_harington": ("M", 28), "lin_manuel_miranda": ("M", 35), "rose_leslie": ("F", 28),
}  # fmt: skip
"""Sex, and age in years when most of the photographs were taken, give or take three: from the year of birth."""

CHOSEN = "bbt_"
"""Prefix of the people on whose photographs the crop and the decoding of the ages were chosen."""

FILM_PEOPLE: dict[str, dict[str, tuple[str, int | None]]] = {
    "asl_again_manA.mkv": {"person": ("M", None)},
    "carphone_176.mp4": {"person": ("M", None)},
    "derived_grid_concat.mp4": {
        **dict.fromkeys(("bbaf2n", "id2", "lbax4n", "sbia1a", "sbwe5n", "swiz3n"), ("M", None)),
        **dict.fromkeys(("brbk7n", "lbbc2a", "lrwp9a", "lwbsza"), ("F", None)),
    },
    "derived_intel_head_pose_two.mp4": {"left_woman": ("F", None), "right_man": ("M", None)},
    "derived_intel_three_people.mp4": {
        "left_woman": ("F", None), "middle_man_glasses": ("M", None), "right_woman_glasses": ("F", None),
    },
    "goldeneye_vfr.mp4": {"woman": ("F", 25), "man_glasses": ("M", 30)},
    "hamilton_9s.mp4": {
        "lin_manuel_miranda": ("M", 36), "alex_lacamoire": ("M", 41), "man_hand_on_chin": ("M", None),
        "older_woman": ("F", None), "woman_earring": ("F", None),
    },
    "lp_d3_headturns.mp4": {"person": ("F", None)},
    "makeup_occluded.avi": {"person": ("F", None)},
    "nggyup_720p.mp4": {"singer": ("M", 21)},
    "skeleton_1080p_two.mp4": {"black_shirt": ("M", None), "glasses": ("M", None)},
    "two_women_sar16_11_trim.mp4": {"left_long_hair": ("F", None), "right_bun": ("F", None)},
    "vr_1_vfr.mp4": {"person": ("M", None)},
    "zl_same_person_twice.mp4": {"man": ("M", None)},
}  # fmt: skip
"""Sex as a viewer sees it, and age in years where the film is known; by film and by the person's name in
FACES_640.json."""

HAPPY = (
    "alex-lacamoire fr_knn_img1 fr_knn_test1 obama-480p obama faceapi_amy1 faceapi_amy2 faceapi_amy5 "
    "faceapi_bernadette1 faceapi_bernadette3 faceapi_bernadette5 faceapi_howard1 faceapi_howard5 faceapi_leonard4 "
    "faceapi_leonard5 faceapi_penny3 faceapi_penny5 faceapi_raj2 faceapi_raj3 faceapi_raj5 faceapi_sheldon1 "
    "faceapi_sheldon2 faceapi_sheldon5 faceapi_stuart1 faceapi_stuart2 skimage_astronaut fr_biden2"
)
NEUTRAL = (
    "fr_test_obama1 faceapi_bernadette4 faceapi_howard4 faceapi_leonard2 faceapi_leonard3 faceapi_penny2 "
    "faceapi_penny4 faceapi_raj1 faceapi_raj4 faceapi_stuart5 openface_lennon-2 john1 john2 johnsnow_test1 img1"
)
EMOTIONS = {
    **dict.fromkeys(HAPPY.split(), "happy"),
    **dict.fromkeys(NEUTRAL.split(), "neutral"),
    "faceapi_penny1": "surprise",
}
"""Where it is plain; faces that speak or hardly smile are left out."""

FRONT = (
    "fr_knn_img1 fr_knn_test1 obama-480p obama faceapi_amy5 faceapi_bernadette1 faceapi_howard1 faceapi_howard4 "
    "faceapi_leonard1 faceapi_leonard2 faceapi_raj1 faceapi_raj4 faceapi_raj5 faceapi_sheldon1 faceapi_sheldon2 "
    "faceapi_sheldon5 faceapi_stuart1 faceapi_stuart2 skimage_astronaut fr_biden2 openface_lennon-1 "
    "openface_lennon-2 john1 img1 img2"
)
LEFT = (
    "obama2 faceapi_amy1 faceapi_howard5 faceapi_leonard3 faceapi_leonard4 faceapi_leonard5 faceapi_penny3 "
    "faceapi_sheldon3 faceapi_stuart5 john2"
)
RIGHT = "fr_test_obama1 faceapi_bernadette2 faceapi_penny4 faceapi_sheldon4 faceapi_stuart4"
POSES: dict[str, PoseClass] = {
    **dict.fromkeys(FRONT.split(), "front"),
    **dict.fromkeys(LEFT.split(), "left"),
    **dict.fromkeys(RIGHT.split(), "right"),
}
"""Where it is plain; a head turned or tilted by about fifteen degrees is left out."""
