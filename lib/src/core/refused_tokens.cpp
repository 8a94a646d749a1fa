// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/refused_tokens.hpp"

#include <utility>

namespace jobruntime::core {
namespace {

constexpr Duration minute{60'000};
constexpr std::size_t most_addresses = 8;
constexpr std::size_t most_path = 256;
constexpr std::size_t most_forwarded = 128;

}  // namespace

RefusedTokens::~RefusedTokens() {
    const std::lock_guard lock(mutex_);
    end_minute();
}

void RefusedTokens::add(const Request& request, const std::string& trace_id) {
    if (!sink_) return;
    Event event;
    event.at = clock_.wall();
    event.name = "api.login.refused";
    event.level = Level::warn;
    event.trace_id = trace_id;
    event.fields["from"] = request.remote;
    if (const auto forwarded = request.header("x-forwarded-for"); !forwarded.empty())
        event.fields["forwardedFor"] = redact(forwarded.substr(0, most_forwarded));
    event.fields["method"] = request.method;
    event.fields["path"] = redact(std::string_view(request.target).substr(0, request.target.find('?'))).substr(0, most_path);
    const std::lock_guard lock(mutex_);
    if (clock_.steady() >= ends_) {
        end_minute();
        ends_ = clock_.steady() + minute;
        told_.clear();
    }
    if (told_.size() < most_addresses && told_.insert(request.remote).second) {
        event.fields["tries"] = 1;
        sink_->emit(event, false);
        return;
    }
    ++more_;
    last_ = std::move(event);
    counting_ = true;
}

void RefusedTokens::tell_when_due() {
    if (!counting_) return;
    const std::lock_guard lock(mutex_);
    if (clock_.steady() >= ends_) end_minute();
}

void RefusedTokens::end_minute() {
    if (more_ == 0) return;
    last_.fields["tries"] = more_;
    sink_->emit(last_, false);
    more_ = 0;
    counting_ = false;
}

}  // namespace jobruntime::core
