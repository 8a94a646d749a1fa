// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include "sqlite/sql.hpp"

namespace jobruntime::sqlite {

/// What a file says of itself.
struct FileFacts {
    std::int64_t application = 0;
    int version = 0;
    bool has_tables = false;
};

/// Looks without locks, without the log, and without leaving a trace. Through SQLite, because a plain
/// open and close of the file would drop the locks of every connection that this process has on it.
FileFacts sniff(const std::string& path, const std::string& vfs);
/// The same over an ordinary connection.
FileFacts examine(Connection& connection);
/// Throws the reason when it is not ours, or newer than `latest`.
void accept(const FileFacts& facts, const std::string& path, int latest);
/// A whole copy, as it is now, at `copy`.
void back_up(Connection& connection, const std::string& copy, const std::string& vfs);

}  // namespace jobruntime::sqlite
