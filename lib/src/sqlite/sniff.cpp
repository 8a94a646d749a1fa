// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/sniff.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <sys/stat.h>
#include <unistd.h>

#include "sqlite/schema.hpp"

namespace jobruntime::sqlite {
namespace {

std::string as_uri(const std::string& path) {
    static constexpr std::string_view digits = "0123456789ABCDEF";
    std::string uri = "file:";
    for (const char letter : path) {
        const auto byte = static_cast<unsigned char>(letter);
        const bool plain = byte == '/' || byte == '.' || byte == '-' || byte == '_' || (byte >= '0' && byte <= '9') ||
                           (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        if (plain)
            uri += letter;
        else
            uri.append(1, '%').append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
    }
    return uri + "?immutable=1";
}

bool has_log(const std::string& path) {
    struct stat facts {};
    return ::stat((path + "-wal").c_str(), &facts) == 0 && facts.st_size > 0;
}

std::int64_t pragma(Connection& connection, const char* sql) {
    Query row = connection.cached(sql).query();
    return row.next() ? row.number(0) : 0;
}

}  // namespace

FileFacts examine(Connection& connection) {
    FileFacts facts;
    connection.exec("BEGIN");  // Seen at one moment, not before and after another process made its tables.
    facts.application = pragma(connection, "PRAGMA application_id");
    facts.version = static_cast<int>(pragma(connection, "PRAGMA user_version"));
    facts.has_tables = pragma(connection, "SELECT count(*) FROM sqlite_master") > 0;
    connection.exec("COMMIT");
    return facts;
}

FileFacts sniff(const std::string& path, const std::string& vfs) {
    try {
        auto connection = Connection::open(as_uri(path), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, vfs);
        return examine(connection);
    } catch (const Failure& failure) {
        const bool foreign = (failure.code & 0xff) == SQLITE_NOTADB;
        // With a log beside it the file alone may be half of the truth.
        if (has_log(path) && !foreign) return {application_id, 0, true};
        if (foreign)
            throw Failure{{Errc::corrupt, path + " is not a database; name another file, or move this one away"}};
        throw Failure{{failure.error.code, path + " cannot be read as a database: " + failure.error.message}};
    }
}

void accept(const FileFacts& facts, const std::string& path, int latest) {
    if (facts.application != application_id) {
        if (facts.application == 0 && facts.version == 0 && !facts.has_tables) return;
        throw Failure{{Errc::unsupported, path +
                                              " is another program's database; name another file, or let this store make "
                                              "the file first and add other tables afterwards"}};
    }
    if (facts.version > latest) {
        throw Failure{{Errc::unsupported, path + " was written by a newer version (its schema is " +
                                              std::to_string(facts.version) + ", this program knows up to " +
                                              std::to_string(latest) + "); update this program"}};
    }
}

void back_up(Connection& connection, const std::string& copy, const std::string& vfs) {
    const auto part = copy + ".part";
    ::unlink(part.c_str());
    {
        auto target = Connection::open(part, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs);
        sqlite3_backup* backup = sqlite3_backup_init(target.raw(), "main", connection.raw(), "main");
        if (!backup) fail(target.raw(), sqlite3_extended_errcode(target.raw()), "no copy of the file could be made");
        sqlite3_backup_step(backup, -1);
        const int code = sqlite3_backup_finish(backup);
        if (code != SQLITE_OK) {
            ::unlink(part.c_str());
            fail(target.raw(), code, "no copy of the file could be made");
        }
    }
    if (::rename(part.c_str(), copy.c_str()) != 0)
        throw Failure{{Errc::unavailable, "the copy " + copy + " could not be named: " + std::strerror(errno)}};
}

}  // namespace jobruntime::sqlite
