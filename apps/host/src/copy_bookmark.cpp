// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "copy_bookmark.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace jobruntime::host {

namespace json = boost::json;

std::string to_text(const Bookmark& mark) {
    json::array tail;
    for (const auto& id : mark.tail) tail.push_back(json::string(id));
    return json::serialize(json::object{{"cursor", mark.cursor},
                                        {"tail", std::move(tail)},
                                        {"eventsAfter", mark.events_after},
                                        {"targetAfter", mark.target_after}});
}

Bookmark from_text(const Record& record) {
    Bookmark mark;
    mark.version = record.version;
    boost::system::error_code code;
    const auto parsed = json::parse(record.value, code);
    if (code || !parsed.is_object()) return mark;
    const auto& object = parsed.get_object();
    auto number = [&](std::string_view name) -> EventId {
        const auto* value = object.if_contains(name);
        if (!value || !value->is_number()) return 0;
        boost::system::error_code wrong;
        const auto read = value->to_number<EventId>(wrong);
        return wrong ? 0 : read;
    };
    if (const auto* cursor = object.if_contains("cursor"); cursor && cursor->is_string())
        mark.cursor = std::string(cursor->get_string());
    if (const auto* tail = object.if_contains("tail"); tail && tail->is_array())
        for (const auto& id : tail->get_array())
            if (id.is_string()) mark.tail.emplace(id.get_string());
    mark.events_after = number("eventsAfter");
    mark.target_after = number("targetAfter");
    return mark;
}

}  // namespace jobruntime::host
