// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sqlite/files_linux.hpp"
#include "sqlite/open.hpp"
#include "sqlite/sniff.hpp"
#include "sqlite/sql.hpp"

namespace jobruntime::sqlite {
namespace {

constexpr Duration patience{5'000};

std::uint64_t count_of(Connection& connection, const char* sql) {
    Query row = connection.cached(sql).query();
    return row.next() ? static_cast<std::uint64_t>(row.number(0)) : 0;
}

/// Opens the copy as a reader would and looks at every page of it.
BackupFacts checked(const std::string& copy) {
    auto connection = Connection::open(copy, SQLITE_OPEN_READWRITE, {});
    accept(examine(connection), copy, static_cast<int>(schema_migrations().size()));
    {
        Query row = connection.cached("PRAGMA integrity_check(1)").query();
        if (!row.next() || row.text(0) != "ok")
            throw Failure{{Errc::corrupt, "the copy does not pass the integrity check (" +
                                              std::string(row.text(0)) +
                                              "), so the file itself is damaged; restore an earlier backup"}};
    }
    BackupFacts facts;
    facts.jobs = count_of(connection, "SELECT count(*) FROM jobrt_job");
    facts.events = count_of(connection, "SELECT count(*) FROM jobrt_event");
    struct stat status {};
    if (::stat(copy.c_str(), &status) == 0) facts.bytes = static_cast<std::uint64_t>(status.st_size);
    return facts;
}

/// Gives the copy its name without replacing a file that came meanwhile, and makes the name durable.
void publish(const std::string& part, const std::string& to) {
    if (::link(part.c_str(), to.c_str()) != 0)
        throw Failure{
            {Errc::invalid_argument, "the copy could not be named " + to + ": " + std::strerror(errno)}};
    ::unlink(part.c_str());
    const int folder = ::open(to.substr(0, to.rfind('/') + 1).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return;
    ::fsync(folder);
    ::close(folder);
}

BackupFacts copy(const std::string& from, const std::string& to) {
    const int latest = static_cast<int>(schema_migrations().size());
    accept(sniff(from, {}), from, latest);
    auto connection = Connection::open(from, SQLITE_OPEN_READWRITE, {});
    connection.set_busy_timeout(patience);
    // Who only looks moves nothing: a log is left as it is found.
    sqlite3_db_config(connection.raw(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    const auto found = examine(connection);
    accept(found, from, latest);
    if (found.application != application_id)
        throw Failure{{Errc::unsupported, from + " is not a store's file; there is nothing to back up"}};
    // A name of its own: two backups at once must not write into one another.
    const auto part = to + "." + std::to_string(::getpid()) + ".copy";
    try {
        back_up(connection, part, {});
        auto facts = checked(part);
        publish(part, to);
        facts.path = to;
        return facts;
    } catch (...) {
        for (const char* beside : {"", ".part", "-wal", "-shm"}) ::unlink((part + beside).c_str());
        throw;
    }
}

}  // namespace

Result<BackupFacts> back_up(std::string_view path, std::string_view to) {
    const auto from = absolute_path(path);
    if (!from) return from.error();
    const auto target = absolute_path(to);
    if (!target) return target.error();
    struct stat status {};
    if (::stat(from->c_str(), &status) != 0)
        return Error{Errc::not_found, "there is no file at " + *from + " to back up"};
    if (::lstat(target->c_str(), &status) == 0)
        return Error{Errc::invalid_argument, "BACKUP_EXISTS",
                     *target + " is there already; name a file that is not, so that no backup is lost"};
    try {
        return copy(*from, *target);
    } catch (const Failure& failure) {
        return failure.error;
    }
}

}  // namespace jobruntime::sqlite
