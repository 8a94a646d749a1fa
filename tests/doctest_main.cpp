// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
