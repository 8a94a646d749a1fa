// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/open.hpp"

#include <chrono>
#include <system_error>
#include <thread>

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/failpoint.hpp"
#include "sqlite/sniff.hpp"
#include "sqlite/store.hpp"

namespace jobruntime::sqlite {
namespace {

class Opening {
public:
    Opening(std::string path, Options options, const Internals& internals)
        : path_(std::move(path)),
          folder_(path_ + "-jobrt"),
          options_(std::move(options)),
          internals_(internals),
          deadline_(std::chrono::steady_clock::now() + options_.busy_timeout) {}

    Opened run();

private:
    int latest() const { return static_cast<int>(internals_.migrations.size()); }
    void look_first();
    void connect();
    void keep_wal_on_close(bool keep);
    void make_folder_tree();
    bool first_here(const LockFile& in_use);
    void upgrade();
    void look_again();
    void raise_epoch();
    void remove_old_bells();

    std::string path_;
    std::string folder_;
    Options options_;
    const Internals& internals_;
    SteadyTime deadline_;
    std::unique_ptr<Connection> connection_;
};

template <class T>
T or_throw(Result<T> result) {
    if (!result) throw Failure{result.error()};
    return std::move(*result);
}

/// A file in the making may look like another program's for a moment: a refusal is believed when it lasts.
constexpr int second_looks = 10;
constexpr std::chrono::milliseconds second_look_after{10};

/// Refuses what can be seen to be none of ours before anything is opened for writing.
void Opening::look_first() {
    for (int tries = 0;; ++tries) {
        struct stat facts {};
        if (::stat(path_.c_str(), &facts) != 0 || facts.st_size == 0) return;
        try {
            return accept(sniff(path_, internals_.vfs), path_, latest());
        } catch (const Failure&) {
            // Another process may be making the file just now; while it holds our lock, only a look that waits for
            // SQLite's locks can tell, and when it has just let go, another look.
            if (look_at_lock(folder_ + "/open") == LockSeen::held) return;
            if (tries == second_looks) throw;
            std::this_thread::sleep_for(second_look_after);
        }
    }
}

/// The same under SQLite's locks, through the connection that will be used.
void Opening::look_again() {
    for (int tries = 0;; ++tries) {
        try {
            return accept(examine(*connection_), path_, latest());
        } catch (const Failure& failure) {
            if (failure.error.code == Errc::unavailable || tries == second_looks) throw;
            std::this_thread::sleep_for(second_look_after);
        }
    }
}

void Opening::connect() {
    connection_ = std::make_unique<Connection>(
        Connection::open(path_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, internals_.vfs));
    connection_->set_busy_timeout(options_.busy_timeout);
    keep_wal_on_close(true);
}

/// Until the file is accepted, closing it must not move what another program left in its log.
void Opening::keep_wal_on_close(bool keep) {
    sqlite3_db_config(connection_->raw(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep ? 1 : 0, nullptr);
}

void Opening::make_folder_tree() {
    for (const char* name : {"", "/bells", "/sessions"})
        if (auto made = make_folder(folder_ + name); !made) throw Failure{made.error()};
}

bool Opening::first_here(const LockFile& in_use) {
    if (in_use.try_exclusive()) return true;
    if (!in_use.wait_shared(deadline_)) {
        throw Failure{{Errc::unavailable, "another process is still opening " + path_ + "; try again"}};
    }
    return false;
}

void Opening::raise_epoch() {
    if (JOBRT_FAILPOINT("control.keep_epoch")) return;
    connection_->exec(
        "PRAGMA synchronous = FULL; BEGIN IMMEDIATE; "
        "UPDATE jobrt_state SET last = ((last >> 32) + 1) << 32; COMMIT");
}

/// Nobody else has the file open, so whoever made them is gone.
void Opening::remove_old_bells() {
    const auto bells = folder_ + "/bells";
    DIR* entries = ::opendir(bells.c_str());
    if (!entries) return;
    while (const dirent* entry = ::readdir(entries))
        if (std::string_view(entry->d_name).ends_with(".bell")) ::unlink((bells + "/" + entry->d_name).c_str());
    ::closedir(entries);
}

/// Makes the schema or brings it up to date; nobody else has the file open.
void Opening::upgrade() {
    auto& db = *connection_;
    const auto file = examine(db);
    accept(file, path_, latest());  // A newer program may have been here since the last look.
    const int found = file.version;
    if (found == latest()) return;
    if (found > 0) back_up(db, path_ + ".v" + std::to_string(found) + ".bak", internals_.vfs);
    db.exec("BEGIN EXCLUSIVE");
    try {
        for (int version = found; version < latest(); ++version)
            db.exec(internals_.migrations[static_cast<std::size_t>(version)].sql);
        if (JOBRT_FAILPOINT("sqlite.migrate")) throw Failure{{Errc::unavailable, "the migration failed, as a test asked"}};
        db.exec(("PRAGMA application_id = " + std::to_string(application_id)).c_str());
        db.exec(("PRAGMA user_version = " + std::to_string(latest())).c_str());
        db.exec("COMMIT");
    } catch (const Failure&) {
        sqlite3_exec(db.raw(), "ROLLBACK", nullptr, nullptr, nullptr);
        throw;
    }
}

/// Needs the file for itself for a moment, which another one that is just looking at it delays.
void enter_wal_mode(Connection& db, const std::string& path, SteadyTime deadline) {
    while (true) {
        try {
            Query row = db.cached("PRAGMA journal_mode = WAL").query();
            if (row.next() && row.text(0) == "wal") return;
            break;
        } catch (const Failure& failure) {
            if (failure.error.code != Errc::unavailable || std::chrono::steady_clock::now() > deadline) throw;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    throw Failure{{Errc::unsupported, "the file system of " + path +
                                          " cannot share memory between processes, which the store needs; use a local disk"}};
}

Opened Opening::run() {
    look_first();
    connect();
    look_again();
    static_cast<void>(JOBRT_FAILPOINT("sqlite.looked"));

    make_folder_tree();
    auto in_use = or_throw(LockFile::open(folder_ + "/open"));
    const bool first = first_here(in_use);
    if (first) {
        // Outside WAL mode a commit is the removal of a journal, and only EXTRA makes the removal itself durable: a
        // journal that a power cut brings back would be played back over what was written since.
        connection_->exec("PRAGMA secure_delete = OFF; PRAGMA temp_store = MEMORY; PRAGMA synchronous = EXTRA");
        upgrade();
    } else if (examine(*connection_).version != latest()) {
        throw Failure{{Errc::unavailable, "the schema of " + path_ +
                                              " must be brought up to date first, but an older version of the program "
                                              "still uses it; stop that and try again"}};
    }
    enter_wal_mode(*connection_, path_, deadline_);
    keep_wal_on_close(false);
    connection_->exec(
        "PRAGMA secure_delete = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096; "
        "PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864");
    if (first) {
        raise_epoch();
        remove_old_bells();
    }
    if (!in_use.try_shared())
        throw Failure{{Errc::unavailable, "the lock file of " + path_ + " could not be shared; try again"}};
    // Without room for it the disk counts as full, which insert will say.
    static_cast<void>(Ballast(folder_ + "/ballast", options_.ballast_bytes).build());
    auto turnstile = or_throw(Turnstile::open(folder_));
    return {path_,           folder_, internals_.vfs, std::move(options_), std::move(connection_),
            std::move(in_use), std::move(turnstile)};
}

Result<std::string> checked_path(std::string_view path, const Internals& internals) {
    if (path == ":memory:") {
        return Error{Errc::unsupported,
                     "\":memory:\" is no file that a second connection could open; use memory::open, or a file"};
    }
    auto absolute = absolute_path(path);
    if (!absolute) return absolute;
    const auto filesystem = internals.filesystem(absolute->substr(0, absolute->rfind('/') + 1));
    if (is_network_filesystem(filesystem)) {
        return Error{Errc::unsupported, *absolute + " lies on a network file system (" + filesystem +
                                            "), where SQLite's locks cannot be trusted; use a local disk"};
    }
    return absolute;
}

}  // namespace

Result<std::unique_ptr<Store>> open_with(std::string_view path, Options options, const Internals& internals) {
    auto absolute = checked_path(path, internals);
    if (!absolute) return std::move(absolute).error();
    if (options.busy_timeout < Duration{0}) return Error{Errc::invalid_argument, "busy_timeout must not be negative"};
    try {
        return std::unique_ptr<Store>(
            std::make_unique<SqliteStore>(Opening(std::move(*absolute), std::move(options), internals).run()));
    } catch (const Failure& failure) {
        return failure.error;
    } catch (const std::system_error& error) {
        return Error{Errc::unavailable, std::string("the store could not start its thread: ") + error.what()};
    }
}

Result<std::unique_ptr<Store>> open(std::string_view path, Options options) {
    return open_with(path, std::move(options), {});
}

}  // namespace jobruntime::sqlite
