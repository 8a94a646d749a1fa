// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once
#include <string>
#include <string_view>

// Where the files are that a test works with. Found when it runs: a path given to the compiler would make each file of
// tests another one for the compiler cache in every clone.
namespace jobruntime::tests {

/// A program or module of this build; all lie beside the program that asks. It need not be there.
std::string program(std::string_view name);
/// A file or folder of the tree that this was built from.
std::string source(std::string_view path);

}  // namespace jobruntime::tests
