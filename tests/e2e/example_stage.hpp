// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "e2e/held_store.hpp"
#include "e2e/support.hpp"
#include "support/small_disk.hpp"

namespace jobruntime::e2e {

/// A jobrt in the state that an example of docs/api.md wants, and what the example's placeholders stand for there.
class Stage {
public:
    /// `needs` as the document says it: settings NAME=VALUE, and words about what has befallen the store.
    explicit Stage(const std::string& needs);
    ~Stage();

    /// Why this machine has no such state; empty when it has.
    const std::string& missing() const { return missing_; }
    const std::string& folder() const { return folder_.path(); }
    /// The command of an example below that heading, as it works here.
    std::string filled_in(const std::string& section, std::string command);
    /// A worker's command needs what the one before was answered.
    void learn(const std::string& command, const std::string& answer);
    /// The next example is about another job.
    void forget_job() { job_.clear(); }

private:
    void read_settings(const std::string& needs);
    void add_jobs();
    void put_post();
    void damage_job();
    void fill_disk();
    boost::json::object ask(std::string_view path, std::string_view body) const;
    std::string job_for(const std::string& section) const;

    const Folder folder_;
    Variables variables_;
    std::string missing_;
    std::optional<tests::SmallDisk> disk_;
    std::optional<Service> api_;
    std::optional<HeldStore> held_;
    std::optional<Program> half_;            ///< Half a request.
    std::string database_;
    std::string job_, saved_, cursor_, token_;
    std::string session_, claimed_, fence_;  ///< Of the worker by HTTP.
};

}  // namespace jobruntime::e2e
