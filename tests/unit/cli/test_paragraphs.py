from forebay_operator.cli.paragraphs import titled


def test_without_a_terminal_a_line_is_a_line() -> None:
    assert list(titled("Seen", ["one " * 40, "two"], 6, None)) == ["Seen  " + "one " * 40, "      two"]


def test_on_a_terminal_lines_go_on_under_their_beginning_and_words_stay_whole() -> None:
    path = "/a/path/that-is/longer/than/the/terminal.joblib"

    assert list(titled("Seen", [f"the file {path} is not there"], 6, 30)) == [
        "Seen  the file",
        f"      {path}",
        "      is not there",
    ]
