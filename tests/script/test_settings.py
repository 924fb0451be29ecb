"""Settings: the environment's part of a definition, masked wherever it is shown."""

from __future__ import annotations

import pytest

from framework.script.settings import Options, Settings

ENVIRON = {
    "FRAMEWORK_SETTING_API_KEY": "geheim",
    "FRAMEWORK_SETTING_EMPTY": "",
    "FRAMEWORK_SETTING_": "nameless",
    "FRAMEWORK_DATABASE": "sqlite:////x.db",
    "OTHER": "other",
}


def test_a_setting_is_the_text_of_its_variable() -> None:
    settings = Settings(ENVIRON)
    assert settings.API_KEY == "geheim"
    assert settings.EMPTY == ""
    assert "API_KEY" in settings
    assert "OTHER" not in settings
    assert settings.get("API_KEY") == "geheim"
    assert settings.get("MISSING") is None
    assert settings.get("MISSING", "x") == "x"


def test_a_missing_one_names_the_variable_and_the_one_that_was_meant() -> None:
    with pytest.raises(AttributeError) as caught:
        _ = Settings(ENVIRON).API_KAY
    assert str(caught.value) == "the environment has no FRAMEWORK_SETTING_API_KAY; did you mean API_KEY?"
    with pytest.raises(AttributeError) as caught:
        _ = Settings({}).API_KEY
    assert str(caught.value) == "the environment has no FRAMEWORK_SETTING_API_KEY"


def test_values_are_masked() -> None:
    settings = Settings(ENVIRON)
    assert "API_KEY=***" in repr(settings)
    assert "geheim" not in repr(settings)
    assert "geheim" not in str(settings)
    assert "API_KEY" in dir(settings)


def test_they_are_those_of_the_start() -> None:
    environ = dict(ENVIRON)
    settings = Settings(environ)
    environ["FRAMEWORK_SETTING_API_KEY"] = "changed"
    assert settings.API_KEY == "geheim"


def test_options_are_the_settings_and_what_the_platform_has() -> None:
    options = Options(
        Settings({"FRAMEWORK_SETTING_region": "eu", "FRAMEWORK_SETTING_callout_connect_timeout": "2.5"})
    )
    assert options.region == "eu"
    assert options.callout_connect_timeout == 2.5
    assert options.callout_request_timeout == 60
    assert (options.default_apigw_host, options.default_apigw_port) == ("127.0.0.1", 9099)
    options.listening("0.0.0.0", 8080)
    assert (options.default_apigw_host, options.default_apigw_port) == ("127.0.0.1", 8080)
    with pytest.raises(
        AttributeError, match="the environment has no FRAMEWORK_SETTING_regoin; did you mean region"
    ):
        _ = options.regoin
    assert "region" in dir(options)
    assert "eu" not in repr(options)


def test_an_option_that_is_a_number_takes_one() -> None:
    options = Options(Settings({"FRAMEWORK_SETTING_default_apigw_port": "http"}))
    with pytest.raises(
        AttributeError, match="FRAMEWORK_SETTING_default_apigw_port must be a number, not 'http'"
    ):
        _ = options.default_apigw_port
