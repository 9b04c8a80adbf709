// A bridge for each network and a pair of links for each endpoint, as `sdk/wit/driver.wit`
// wants to be answered: a variant is { tag, val }, no option is null, a fault is thrown.

import log from "postern:driver/log@0.1.0";

const link = (handle, tag, val, mtu, mac) => ({
  tag: "link",
  val: { handle, kind: { tag, val }, mtu, mac },
});

const address = (link, address, side) => ({ tag: "address", val: { link, address, side } });

export const driver = {
  describe: () => ({
    name: "lan-js",
    version: "0.1.0",
    summary: "Neighbours on a bridge, in JavaScript",
    capabilities: ["bridge", "veth", "address", "filter"],
    options: [],
    addressing: true,
    attach: "own",
    maxNetworks: null,
  }),

  network(context, { name, subnets, icc, mtu, mac }) {
    log.write("debug", `${context.requestId} asks for the network ${name}`);
    const gateways = subnets
      .filter(({ gateway }) => gateway !== null)
      // The gateway, with the prefix length of its subnet.
      .map(({ subnet, gateway }) => `${gateway}/${subnet.split("/")[1]}`);
    return {
      resources: [
        link("bridge", "bridge", { name: null }, mtu, mac),
        ...gateways.map((gateway) => address("bridge", gateway, "host")),
        {
          tag: "filter",
          val: { link: "bridge", neighbours: icc, networks: false, world: false, direct: false },
        },
      ],
      state: [],
    };
  },

  endpoint(context, network, { addresses, mac, interfaceName, bindings }) {
    if (bindings.length > 0) {
      const val = { field: "spec.published_ports", description: "a neighbour publishes nothing" };
      throw { tag: "invalid", val };
    }
    const pair = { master: "bridge", interfaceName, hairpin: false };
    return {
      resources: [
        link("port", "veth", pair, network.mtu, mac),
        ...addresses.map((offered) => address("port", offered, "sandbox")),
      ],
      gateways: [],
      state: [],
    };
  },
};
