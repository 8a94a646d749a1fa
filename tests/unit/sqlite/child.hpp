// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cerrno>
#include <csignal>

#include <cstdlib>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.hpp"
#include "support/places.hpp"

namespace jobruntime::sqlite::test {

/// The program sqlite_child with these arguments. Its output can be read line by line; killed at the end.
class Child {
public:
    explicit Child(const std::vector<std::string>& arguments, const std::string& failpoints = "") {
        int pipe_ends[2];
        REQUIRE(::pipe2(pipe_ends, O_CLOEXEC) == 0);
        std::vector<std::string> words{tests::program("sqlite_child")};
        words.insert(words.end(), arguments.begin(), arguments.end());
        std::vector<char*> argv;
        for (auto& word : words) argv.push_back(word.data());
        argv.push_back(nullptr);
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::dup2(pipe_ends[1], STDOUT_FILENO);
            if (!failpoints.empty()) ::setenv("JOBRT_FAILPOINTS", failpoints.c_str(), 1);
            ::execv(argv[0], argv.data());
            ::_exit(127);
        }
        ::close(pipe_ends[1]);
        output_ = pipe_ends[0];
    }
    Child(const Child&) = delete;
    ~Child() {
        signal(SIGKILL);
        wait();
        ::close(output_);
    }
    /// The next line it prints; empty at its end.
    std::string line() {
        std::string text;
        for (char letter = 0; ::read(output_, &letter, 1) == 1 && letter != '\n';) text += letter;
        return text;
    }
    void signal(int number) {
        if (pid_ > 0) ::kill(pid_, number);
    }
    /// Its exit status, or minus the signal that ended it.
    int wait() {
        if (pid_ <= 0) return status_;
        int raw = 0;
        while (::waitpid(pid_, &raw, 0) < 0 && errno == EINTR) {}
        pid_ = -1;
        status_ = WIFEXITED(raw) ? WEXITSTATUS(raw) : -WTERMSIG(raw);
        return status_;
    }

private:
    pid_t pid_ = -1;
    int output_ = -1;
    int status_ = 0;
};

}  // namespace jobruntime::sqlite::test
