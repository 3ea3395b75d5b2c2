"""Labels of the photographs for tests.eval.faces, by directory (a person) and file name."""

from facecore.quality import PoseClass

PEOPLE: dict[str, tuple[str, int]] = {
    "alex_lacamoire": ("M", 41), "barack_obama": ("M", 49), "bbt_amy": ("F", 36), "bbt_bernadette": ("F", 32),
    "bbt_howard": ("M", 30), "bbt_leonard": ("M", 34), "bbt_penny": ("F", 26), "bbt_raj": ("M", 29),
    "bbt_sheldon": ("M", 37), "bbt_stuart": ("M", 41), "eileen_collins": ("F", 42), "joe_biden": ("M", 68),
    "john_lennon": ("M", 29), "kit_harington": ("M", 28), "lin_manuel_miranda": ("M", 35), "rose_leslie": ("F", 28),
}  # fmt: skip
"""Sex, and age in years when most of the photographs were taken, give or take three: from the year of birth."""

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
