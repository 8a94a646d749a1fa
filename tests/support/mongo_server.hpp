// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include <jobruntime/mongo.hpp>

#include "mongo/bson.hpp"

namespace jobruntime::tests {

/// A server that speaks MongoDB's protocol, for the time of a test program: the one that
/// JOBRT_TEST_MONGODB_URI names, else the stand-in whose program JOBRT_STANDIN names (tools/standin), on a
/// free port and in a folder of its own.
class MongoServer {
public:
    /// The one of this program, started by the first who asks. When neither can be had, says so and leaves
    /// the program with status 77, which counts as skipped.
    static MongoServer& shared();
    /// One more stand-in, to be stopped and started at will; nullptr where only a real server is to be had.
    /// `options` is what a URI must say behind its question mark to reach it, for a server that encrypts.
    static std::unique_ptr<MongoServer> own(const std::vector<std::string>& arguments = {},
                                            const std::string& options = {});
    ~MongoServer();

    /// The URI of a database.
    std::string uri(const std::string& database) const;
    /// A name that no other test has; the database goes when the program ends.
    std::string fresh_database();
    /// Runs a command, as any other program could.
    mongo::Doc run(const std::string& database, const mongo::Doc& command) const;
    std::vector<mongo::Doc> find(const std::string& database, const std::string& collection,
                                 const mongo::Doc& filter) const;
    void insert(const std::string& database, const std::string& collection, const mongo::Doc& doc) const;
    void drop(const std::string& database) const;

    int port() const { return port_; }
    /// SIGKILL, and waits for its end.
    void kill();
    /// SIGSTOP, or SIGCONT: its connections stay open, and nothing answers on them.
    void freeze(bool frozen);
    /// On the same port and with the same data as before; waits until it answers.
    void start(const std::vector<std::string>& arguments = {});

private:
    MongoServer() = default;

    std::string base_;  // The URI without a database, split at where it goes.
    std::string options_;
    std::string program_;
    std::string folder_;
    int port_ = 0;
    pid_t pid_ = 0;
    int made_ = 0;
    std::vector<std::string> databases_;
};

/// Where the server is the stand-in, prints that so many are done on it instead of as many as on a real one.
void say_fewer(const MongoServer& server, int here, std::string_view of_what, int instead_of);

}  // namespace jobruntime::tests
