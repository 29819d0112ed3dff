import pytest

from cnnzoo.data.class_names import look_alikes, positive_class, side_of


@pytest.mark.parametrize(
    ("positive", "other"),
    [
        ("crack", "sound"),
        ("Cracked", "Uncracked"),
        ("CRACK", "no_crack"),
        ("Crack", "NonCrack"),
        ("crack", "non-crack"),
        ("cracks", "crack free"),
        ("with cracks", "without cracks"),
        ("withcrack", "withoutcrack"),
        ("Positive", "Negative"),
        ("Positive (cracks)", "Negative (no cracks)"),
        ("defective", "ok"),
        ("defect", "no defect"),
        ("damaged", "undamaged"),
        ("nok", "ok"),
        ("bad", "good"),
        ("abnormal", "normal"),
        ("1", "0"),
        ("class_1", "class_0"),
        ("yes", "no"),
        ("True", "False"),
        ("Riß", "ohne Riß"),
        ("beschädigt", "unbeschädigt"),
        ("De\u0301faut", "sain"),
        ("crack", "wall"),  # one name is enough
        ("spalling", "intact"),
        ("no_good", "acceptable"),
        ("Ja", "Nein"),
        ("not ok", "ok"),
    ],
)
def test_the_positive_class_is_recognised_by_the_usual_names(positive, other):
    assert positive_class([positive, other]) == positive
    assert positive_class([other, positive]) == positive


@pytest.mark.parametrize(
    "names",
    [
        ("cats", "dogs"),
        ("crack", "damaged"),  # both say it
        ("ok", "intact"),
        ("1", "2"),  # digits
        ("1", "7"),
        ("CD", "UD"),
        ("Crack", "crack "),
        ("No", "Non"),
        ("go", "no_go"),
        ("true_negative", "false_negative"),
        ("crack", "sound", "spalling"),
        ("crack",),
    ],
)
def test_where_the_names_do_not_tell_there_is_none(names):
    assert positive_class(names) == ""


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("train", "train"),
        ("Training_set", "train"),
        ("seg_train", "train"),
        ("val", "validation"),
        ("valid", "validation"),
        ("Validation", "validation"),
        ("test", "test"),
        ("TestData", "test"),
        ("test images", "test"),
        ("crack", ""),
        ("images", ""),
        ("trains", ""),
        ("contest", ""),
    ],
)
def test_a_side_of_a_split_is_recognised_by_its_name(name, side):
    assert side_of(name) == side


def test_names_that_differ_in_case_spaces_or_unicode_form_alone_are_found():
    assert look_alikes(["Crack", "crack ", "sound", "cra\u0301ck"]) == [("Crack", "crack ", "cra\u0301ck")]
    for other in ("crack\u200b", "\u0441rack", "cracks", "crack (1)", "CRACK", "crack-"):
        assert look_alikes(["crack", "sound", other]) == [("crack", other)]
    assert look_alikes(["no crack", "no_crack", "crack"]) == [("no crack", "no_crack")]
    assert look_alikes(["crack", "cracked"]) == []
