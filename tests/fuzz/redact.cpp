// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/telemetry_sink.hpp>

#include "fuzz.hpp"

namespace jobruntime::fuzz {
namespace {

constexpr std::string_view canary = "canary0canary";

void expect_hidden(const std::string& text) {
    const auto safe = jobruntime::redact(text);
    expect(safe.find(canary) == std::string::npos, "a secret shows: " + safe);
}

}  // namespace

/// A line of a log, with secrets put before and behind it.
void redact(std::string_view input) {
    const std::string text(input);
    const auto safe = jobruntime::redact(text);
    expect(safe.size() <= 4 * text.size() + 3, "hiding makes a text long");
    expect(jobruntime::redact(safe) == safe, "what is hidden is hidden again: " + safe + " becomes " + jobruntime::redact(safe));
    if (text.find("canary") != std::string::npos) return;
    const std::string token = "jrt_0a1b2c3d_" + std::string(canary);
    expect_hidden(text + token);
    expect_hidden(token + text);
    expect_hidden(text + "\nCookie: a=" + std::string(canary));
    expect_hidden(text + "\nauthorization: Bearer " + std::string(canary) + "\n" + text);
    expect_hidden(text + "\nhttps://user:" + std::string(canary) + "@site.example/\n" + text);
    expect_hidden(text + "\nhttps://site.example/?sig=" + std::string(canary) + "\n" + text);
}

}  // namespace jobruntime::fuzz
