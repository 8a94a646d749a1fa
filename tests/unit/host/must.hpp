// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <utility>

#include <doctest/doctest.h>

#include <jobruntime/result.hpp>

namespace jobruntime::tests {

/// The value, or the end of the case.
template <class T>
T must(Result<T> result) {
    REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message));
    return *std::move(result);
}

}  // namespace jobruntime::tests
