/**
 * Power of whole boards at the wall, idle and under full CPU load, in W.
 *
 * Sources: sbc-reviews (github.com/geerlingguy/sbc-reviews, MIT; `stress-ng --matrix 0`), pidramble (Raspberry Pi power
 * benchmarks), powerjoular (coefficients of its regressions; measured facts). The patterns are meant for the
 * device-tree `model` text, and for the DMI product name on PCs; earlier rows win.
 */
export interface Board {
  readonly board: string
  readonly pattern: RegExp
  readonly idleWatts: number
  readonly fullWatts: number
  readonly from: 'sbc-reviews' | 'pidramble' | 'powerjoular'
}

type Row = readonly [
  board: string,
  pattern: RegExp,
  idleWatts: number,
  fullWatts: number,
  from?: Board['from'],
]

const rows: readonly Row[] = [
  ['Raspberry Pi 500+', /Raspberry Pi 500 ?(\+|Plus)/i, 2.9, 9.4],
  ['Raspberry Pi 500', /Raspberry Pi 500\b/i, 3.1, 9],
  ['Raspberry Pi 400', /Raspberry Pi 400\b/i, 2.7, 5.2],
  ['Raspberry Pi CM5', /Raspberry Pi Compute Module 5\b/i, 2.4, 8.5],
  ['Raspberry Pi CM4', /Raspberry Pi Compute Module 4(?!S)\b/i, 2.5, 4.6],
  ['Raspberry Pi 5 B', /Raspberry Pi 5 Model B/i, 2.8, 9.7],
  ['Raspberry Pi 4 B', /Raspberry Pi 4 Model B/i, 1.6, 5.0],
  ['Raspberry Pi 3 B+', /Raspberry Pi 3 Model B ?(\+|Plus)/i, 3.1, 5.6],
  ['Raspberry Pi 3 B', /Raspberry Pi 3 Model B/i, 1.4, 3.7, 'pidramble'],
  ['Raspberry Pi 2 B', /Raspberry Pi 2 Model B/i, 1.1, 2.1, 'pidramble'],
  ['Raspberry Pi Zero W', /Raspberry Pi Zero W\b/i, 0.92, 1.393, 'powerjoular'],
  ['Raspberry Pi Zero', /Raspberry Pi Zero(?! 2)\b/i, 0.4, 1.2, 'pidramble'],
  ['Asus Tinker Board S', /Tinker Board S/i, 1.629, 6.964, 'powerjoular'],
  ['Arduino Uno Q', /Arduino Uno ?Q/i, 0.5, 1.9],
  ['Orange Pi 5 Max', /Orange ?Pi 5 ?Max/i, 1.4, 10.9],
  ['Orange Pi 5', /Orange ?Pi 5$/i, 1.0, 10.0],
  ['Orange Pi Zero 2W', /Orange ?Pi Zero ?2 ?W/i, 1.12, 2.4],
  ['Orange Pi CM4', /Orange ?Pi CM4/i, 1.7, 2.9],
  ['Banana Pi CM4', /Banana ?Pi.*CM4/i, 1.8, 4.1],
  ['Pine64 SOQuartz', /SOQuartz/i, 1.8, 4.4],
  ['Libre AML-S905X-CC', /AML-S905X-CC/i, 1.3, 2.4],
  ['Radxa Rock 5B', /Rock ?5 ?B(?! ?(\+|Plus))\b/i, 3.6, 17],
  ['Radxa Rock 5C', /Rock ?5 ?C\b/i, 1.6, 9.5],
  ['Radxa CM5', /Radxa (CM5|Compute Module 5)/i, 1.2, 8.4],
  ['Radxa Orion O6', /Orion O6\b/i, 14.2, 24.9],
  ['Turing RK1', /Turing.*RK1/i, 2.85, 15],
  ['StarFive VisionFive 2', /VisionFive 2\b/i, 3.1, 5.3],
  ['Milk-V Mars', /Milk-V Mars/i, 3, 5.3],
  ['Milk-V Jupiter', /Milk-V Jupiter/i, 3.5, 8],
  ['SiFive P550', /P550/i, 7.2, 8.5],
  ['GMKtec G3 Plus (N150)', /\bG3 Plus/i, 9.3, 25],
  ['Radxa X4 (N100)', /Radxa X4\b/i, 9.1, 18.5],
  ['LattePanda Mu (N100)', /LattePanda Mu/i, 5.5, 22.1],
  ['Minisforum MS-R1', /MS-R1\b/i, 17, 30.3],
  ['Apple Mac mini M4', /Mac mini \(?M4\b(?! (Pro|Max))/i, 4.1, 31.2],
]

export const boards: readonly Board[] = rows.map(
  ([board, pattern, idleWatts, fullWatts, from = 'sbc-reviews']) => ({
    board,
    pattern,
    idleWatts,
    fullWatts,
    from,
  }),
)
