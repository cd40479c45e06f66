// SPDX-License-Identifier: BSD-3-Clause

// LinkFollower: the link of a device patched to a port.
#include "app/control/link_policy.h"

#include <gtest/gtest.h>

#include "support/session_rig.h"

namespace vduse::test {
namespace {

using app::Endpoint;
using app::LinkFollower;

class LinkTest : public SessionTest {
  protected:
    Endpoint side;
    Endpoint port;
    LinkFollower links;

    void SetUp() override {
        ASSERT_EQ(create(), "");
        side.set_device(*device);
        links.patch(side, port);
    }
    bool up() {
        links.poll();
        return device->info().link_up;
    }
};

TEST_F(LinkTest, FollowsThePortOnceADriverIsThere) {
    EXPECT_TRUE(up()) << "no driver: the port's is down because we set it down";
    EXPECT_EQ(port.link.requested, app::RequestedLink::down);
    qemu_start();
    EXPECT_TRUE(up());
    EXPECT_EQ(port.link.requested, app::RequestedLink::up);
    port.link.up = false;
    port.link.seen_after = app::RequestedLink::up;
    EXPECT_FALSE(up());
    port.link.up = true;
    EXPECT_TRUE(up());
}

TEST_F(LinkTest, IsDownWhereThePortCannotBeHad) {
    port.in_service = false;
    port.link.up = false;
    EXPECT_FALSE(up());
    qemu_start();
    EXPECT_FALSE(up());
    EXPECT_EQ(port.link.requested, app::RequestedLink::none) << "nobody is to set its link";
}

}  // namespace
}  // namespace vduse::test
