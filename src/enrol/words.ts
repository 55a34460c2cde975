/**
 * A fingerprint as six words, for one to read out and another to compare. Each word stands for one octet; the list must
 * never change, or the two ends would say different words.
 */

const list = `
acid acorn actor adult agent alarm album alert alien alley almond amber angle ankle apple april apron arena arrow
atlas attic aunt autumn avocado bacon badge bagel baker balloon bamboo banana banjo barrel basin basket beach beard
beaver berry bicycle bishop blanket blossom bonnet bottle boulder bracket brain bread brick bridge bronze brush
bubble bucket buffalo bunny burger butter button cabin cactus camel camera canal candle canoe canyon captain carbon
cargo carpet carrot castle cedar cello chalk cherry chess chicken chimney cider cigar circle citrus clover cobra
cocoa coffee comet compass copper coral cotton cousin coyote cradle crayon cricket crown crystal cymbal daisy dancer
denim desert diamond dinner doctor dolphin donkey dragon drum eagle easel echo elbow elder engine envelope fabric
falcon feather fender ferry fiddle finger flute forest fossil fountain fox galaxy garden garlic ginger giraffe
glacier glove gold gorilla granite grape guitar hammer harbor harvest hazel helmet heron honey hotel hunter husky
igloo island ivory jacket jaguar jelly jewel jigsaw jungle kayak kettle kitchen kitten koala ladder lagoon lantern
laptop lava lemon leopard library lily lizard lobster lotus magnet mango maple marble meadow melon mirror monkey
mosaic muffin museum napkin nectar needle nickel noodle oasis ocean olive onion opera orange orchid otter oyster
panda paper parrot pebble pelican pencil pepper piano pickle pigeon pillow planet pocket potato pumpkin rabbit radar
raven ribbon river robot rocket saddle salmon sandal scarf shovel silver spider squid tablet tailor tango teapot
temple tiger tomato tower tractor tulip tunnel turtle velvet violin wagon walnut whale willow window yogurt zebra
`
  .trim()
  .split(/\s+/);

const count = 6;

/** `fingerprint`: hexadecimal. */
export function wordsOf(fingerprint: string): string {
  return [...Buffer.from(fingerprint, 'hex').subarray(0, count)].map((octet) => list[octet]).join(' ');
}
