// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <string>

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/sqlite.hpp>

#include "e2e/support.hpp"

// `jobrt jobs delete` beside a worker that is quicker.
namespace jobruntime::e2e {
namespace {

/// The database of a store, changed by hand in one transaction.
class Transaction {
public:
    explicit Transaction(const std::string& path) {
        REQUIRE(sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE, nullptr) == SQLITE_OK);
        run("BEGIN IMMEDIATE");
    }
    ~Transaction() { sqlite3_close(db_); }
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    void run(const char* sql) {
        REQUIRE(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    }

private:
    sqlite3* db_ = nullptr;
};

/// Whether somebody has the turn to write to the store, or waits for SQLite to let him.
bool somebody_writes(const std::string& database) {
    const int fd = ::open((database + "-jobrt/now").c_str(), O_RDWR | O_CLOEXEC);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    const bool asked = fd >= 0 && ::fcntl(fd, F_OFD_GETLK, &lock) == 0;
    ::close(fd);
    return asked && lock.l_type != F_UNLCK;
}

}  // namespace

TEST_CASE("jobs delete leaves a job alone that has run since it was looked at, and says so") {
    const Folder folder;
    const auto path = folder / "jobs.db";
    auto store = sqlite::open(path);  // Stays open: the first who opens a store writes to it.
    REQUIRE(store.has_value());
    JobQueue queue(**store);
    const auto id = queue.enqueue("nobody.knows", {})->id;

    Transaction meanwhile(path);
    meanwhile.run("UPDATE jobrt_job SET fence = fence + 1, attempt = attempt + 1");
    Program deleting({tests::program("jobrt"), "jobs", "delete", id.str(), "--json"}, environment(folder), folder.path());
    REQUIRE(eventually(30s, [&] { return somebody_writes(path); }));  // So it has read the job.
    meanwhile.run("COMMIT");
    const auto ended = deleting.wait(30s);
    REQUIRE(ended);
    CHECK(ended->code == 1);
    REQUIRE(eventually(10s, [&] { return deleting.silent(); }));
    INFO(deleting.out(), deleting.err());
    CHECK(deleting.out().find(R"("code":"CONFLICT")") != std::string::npos);
    CHECK(deleting.out().find("has run since it was looked at") != std::string::npos);
    CHECK(queue.get(id, 0)->has_value());
    CHECK(jobrt({"jobs", "delete", id.str()}, environment(folder), folder.path()).status.code == 0);
    CHECK_FALSE(queue.get(id, 0)->has_value());
}

}  // namespace jobruntime::e2e
