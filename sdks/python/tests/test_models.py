"""Models and their enums: they accept the fields and words of newer servers, and behave as plain Python values."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from scripted_server import a_job, a_result
from pydantic import TypeAdapter

import meetbot
from conftest import ROOT
from meetbot import Job, JobList, JobStatus, RequestRecordingPermissionResult

KNOWN, NEW = JobStatus("completed"), JobStatus("paused_by_host")


@pytest.mark.parametrize("word", [KNOWN, NEW])
def test_an_enum_value_behaves_as_its_text(word: JobStatus) -> None:
    text = str.__str__(word)
    assert word == text and text == word and hash(word) == hash(text)
    assert word in ("completed", "paused_by_host") and {text: 1}[word] == 1
    assert str(word) == f"{word}" == text and f"{word:>20}" == text.rjust(20)
    assert json.dumps({"status": word}) == f'{{"status": "{text}"}}'
    assert word != "other" and word == JobStatus(text) and isinstance(word, str)
    for again in [pickle.loads(pickle.dumps(word)), copy.deepcopy(word)]:
        assert again == word and type(again) is JobStatus


def test_an_unknown_value_is_not_added_to_an_enum() -> None:
    assert NEW not in list(JobStatus) and len(JobStatus) == 8
    with pytest.raises(ValueError):
        JobStatus(3)


def test_the_words_are_those_of_the_api() -> None:
    schemas = json.loads((ROOT / "spec" / "openapi.json").read_text())["components"]["schemas"]
    compared = 0
    for name, schema in schemas.items():
        ours = getattr(meetbot, name, None)
        if "enum" in schema and ours is not None:
            assert [str(word) for word in ours] == schema["enum"], name
            compared += 1
    assert compared >= 6, "the search finds the words"


def test_jobs_are_compared_and_hashed_by_value() -> None:
    job = Job.model_validate(a_job("recording", metadata={"a": [1, None]}, newField=1))
    for again in [pickle.loads(pickle.dumps(job)), copy.deepcopy(job)]:
        assert again == job and again.status == "recording" and again.newField == 1
    assert job != Job.model_validate(a_job())
    assert json.loads(job.model_dump_json(by_alias=True)) == a_job(
        "recording", metadata={"a": [1, None]}, newField=1
    )
    assert job.created_at is not None and job.created_at.utcoffset() is not None


def test_models_nest_in_other_pydantic_models() -> None:
    jobs = TypeAdapter(dict[str, Job]).validate_python({"a": a_job()})
    assert jobs["a"].recording.state == "off"
    assert Job(**a_job()) == Job.model_validate_json(json.dumps(a_job()))


def test_a_page_keeps_its_cursor_when_pickled() -> None:
    page = JobList([Job.model_validate(a_job())], "next")
    again = pickle.loads(pickle.dumps(page))
    assert again == page and again.next_cursor == "next"


def test_a_control_result_has_enum_values() -> None:
    result = RequestRecordingPermissionResult.model_validate(a_result(state="asked_elsewhere"))
    assert result.state == "asked_elsewhere" and result.recording.paused_ms >= 0
