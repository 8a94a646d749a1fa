// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

// clang lets no lambda name a structured binding before version 16, and doctest's INFO and CAPTURE are lambdas. There
// they say at once what they would say if a check failed.
#if defined(__clang__) && __clang_major__ < 16
#include <sstream>

#include <doctest/doctest.h>

#define JOBRT_INFO(builder, text, ...)                                                             \
    std::ostringstream text;                                                                       \
    {                                                                                              \
        doctest::detail::MessageBuilder builder(__FILE__, __LINE__, doctest::assertType::is_warn); \
        builder.m_stream = &text;                                                                  \
        builder * __VA_ARGS__;                                                                     \
    }                                                                                              \
    const auto DOCTEST_ANONYMOUS(DOCTEST_CAPTURE_) =                                               \
        doctest::detail::MakeContextScope([said = text.str()](std::ostream* out) { *out << said; })
#undef INFO
#define INFO(...) JOBRT_INFO(DOCTEST_ANONYMOUS(DOCTEST_CAPTURE_), DOCTEST_ANONYMOUS(DOCTEST_CAPTURE_), __VA_ARGS__)
#undef CAPTURE
#define CAPTURE(x) INFO(#x " := ", x)
#endif
