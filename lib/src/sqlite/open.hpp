// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <jobruntime/sqlite.hpp>

#include "sqlite/files_linux.hpp"
#include "sqlite/schema.hpp"

namespace jobruntime::sqlite {

/// What only tests change about opening.
struct Internals {
    std::string vfs;  ///< A registered SQLite VFS; empty = the default one.
    std::span<const Migration> migrations = schema_migrations();
    std::function<std::string(const std::string& folder)> filesystem = filesystem_of;
};

JOBRUNTIME_API Result<std::unique_ptr<Store>> open_with(std::string_view path, Options options, const Internals& internals);

}  // namespace jobruntime::sqlite
